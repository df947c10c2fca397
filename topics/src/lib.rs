//! weir-topics
