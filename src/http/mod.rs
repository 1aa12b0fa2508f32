//! Placeholder.

/// A message head: start line and fields. Written by the h1 engineer; this stands in until it lands.
#[derive(Clone, Debug, Default)]
pub struct Head;
