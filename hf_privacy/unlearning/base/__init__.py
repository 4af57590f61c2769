"""What every unlearner is built on: configuration, trainer, evaluation, stopping. It knows no method."""
