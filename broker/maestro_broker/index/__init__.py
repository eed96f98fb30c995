"""The search index: a process of its own, which reads the files of the mail and answers searches."""
