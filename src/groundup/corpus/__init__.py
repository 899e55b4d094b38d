"""From files on disk to clean documents, with an account of everything removed or changed."""
