"""Old place of `baselines.studies.provenance`."""

from baselines.studies.provenance import ROOT, commit, cores, memory, processor, provenance, signature, sources

__all__ = ["ROOT", "commit", "cores", "memory", "processor", "provenance", "signature", "sources"]
