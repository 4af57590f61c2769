"""Critical weights: scored, rewound and fine-tuned around (CWRF, 2603.13186), or frozen."""
