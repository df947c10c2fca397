//! Files as tables: local folders, S3, GCS, Azure and HTTP(S).
