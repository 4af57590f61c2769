"""ReMI: classification loss plus membership-inference loss (2407.00866)."""
