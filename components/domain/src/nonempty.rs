//! A list that has at least one item.

use serde::{Deserialize, Serialize};

/// A list that has at least one item. It is stored as a list, and an empty one is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>", into = "Vec<T>", bound(serialize = "T: Clone + Serialize"))]
pub struct NonEmpty<T> {
    first: T,
    rest: Vec<T>,
}

impl<T> NonEmpty<T> {
    pub fn one(first: T) -> Self {
        Self { first, rest: Vec::new() }
    }

    pub fn new(first: T, rest: Vec<T>) -> Self {
        Self { first, rest }
    }

    pub fn first(&self) -> &T {
        &self.first
    }

    /// All but the first.
    pub fn rest(&self) -> &[T] {
        &self.rest
    }

    #[cfg(any(test, feature = "samples"))]
    pub fn first_mut(&mut self) -> &mut T {
        &mut self.first
    }

    pub fn map<U>(self, change: impl FnMut(T) -> U) -> NonEmpty<U> {
        let mut change = change;
        NonEmpty { first: change(self.first), rest: self.rest.into_iter().map(change).collect() }
    }

    /// All items, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// An empty list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list is empty")]
pub struct Empty;

impl<T> TryFrom<Vec<T>> for NonEmpty<T> {
    type Error = Empty;

    fn try_from(list: Vec<T>) -> Result<Self, Empty> {
        let mut list = list.into_iter();
        let first = list.next().ok_or(Empty)?;
        Ok(Self { first, rest: list.collect() })
    }
}

impl<T> From<NonEmpty<T>> for Vec<T> {
    fn from(list: NonEmpty<T>) -> Self {
        std::iter::once(list.first).chain(list.rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_stored_as_a_list_and_never_empty() {
        let two: NonEmpty<u8> = vec![1, 2].try_into().unwrap();
        assert_eq!(serde_json::to_string(&two).unwrap(), "[1,2]");
        assert_eq!(serde_json::from_str::<NonEmpty<u8>>("[1,2]").unwrap(), two);
        assert!(serde_json::from_str::<NonEmpty<u8>>("[]").is_err());
        assert_eq!((two.first(), two.iter().copied().collect::<Vec<_>>()), (&1, vec![1, 2]));
        assert_eq!(NonEmpty::<u8>::try_from(Vec::new()), Err(Empty));
    }
}
