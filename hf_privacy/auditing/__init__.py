"""The audit from end to end: signals, references, attacks, report."""

from hf_privacy.auditing.assemble import Provenance, repeats_across, versions
from hf_privacy.auditing.audit import audit

__all__ = ["Provenance", "audit", "repeats_across", "versions"]
