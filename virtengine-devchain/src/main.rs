//! `virtengine-devchain`.
fn main() {}
