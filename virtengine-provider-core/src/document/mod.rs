//! Text with structure: YAML 1.2 and JSON become one tree in which every value knows its line and column, and typed readers
//! collect every problem instead of stopping at the first. Manifests and the daemon's configuration are both read with this.
//!
//! The text is hostile until proven otherwise: [`TEXT_BYTES_MAX`], [`DEPTH_MAX`] and [`NODES_MAX`] bound the work, and the
//! parts of YAML that make one text mean two things (anchors, tags, merge keys, duplicate keys, several documents) are
//! refused.

#[cfg(feature = "std")]
mod block;
mod cursor;
#[cfg(feature = "std")]
mod flow;
#[cfg(feature = "std")]
mod json;
mod node;
mod problem;
pub mod quantity;
#[cfg(feature = "std")]
mod read;
mod suggest;
#[cfg(feature = "std")]
mod yaml;

#[cfg(all(test, feature = "std"))]
mod tests;

pub use cursor::{Cursor, Fields, Items, Path};
pub use node::{Entry, Node, Scalar, Span, Value};
pub use problem::{Code, PROBLEMS_MAX, Problem, Problems};
#[cfg(feature = "std")]
pub use read::read;

/// Longest text that is read: 1 MiB. The longest manifests of practice have a few dozen KiB.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting. The deepest legal manifest needs 9 levels.
pub const DEPTH_MAX: usize = 32;

/// Most values in one document, keys counted too.
pub const NODES_MAX: usize = 100_000;
