"""What unlearning of a language model is judged by: answers beside wrong ones, quantisation, relearning."""
