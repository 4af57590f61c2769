"""`python -m hf_privacy.cli`, for `accelerate launch -m hf_privacy.cli train --config recipe.yaml`."""

import sys

from hf_privacy.cli import main

if __name__ == "__main__":
    sys.exit(main())
