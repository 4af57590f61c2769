"""What an audit examines: one module each."""
