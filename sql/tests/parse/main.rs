//! What is read, how it is refused, and that nothing breaks the parser.

mod errors;
mod forms;
mod nesting;
mod planning;
mod random;
