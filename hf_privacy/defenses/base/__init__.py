"""What every defence is built on: configuration, trainer, saving, evaluation. It knows no method."""
