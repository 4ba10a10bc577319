"""Identities between matrices of unknown size: words, proofs, certificates, counterexamples."""
