"""Queries, corpora and judgements: TalentCLEF, MELO, ESCO's own labels, any TREC files."""
