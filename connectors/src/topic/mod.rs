//! Rows of topics: encoding, decoding, and the tables over them.
