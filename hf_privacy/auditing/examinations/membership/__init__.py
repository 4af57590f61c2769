"""Who was in the training set: what every attack finds, on several targets and at several budgets."""
