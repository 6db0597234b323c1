"""Text in and out: files, tokenizers, vocabularies, pipelines."""
