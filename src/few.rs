//! A list that mostly has one item, for which it takes no allocation.

/// Items in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct Few<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Few {
            first: None,
            more: Vec::new(),
        }
    }
}

impl<T> Few<T> {
    /// Adds an item behind the others.
    pub fn push(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.more.push(item);
        }
    }

    /// Does something with each.
    pub fn for_each(self, mut each: impl FnMut(T)) {
        if let Some(first) = self.first {
            each(first);
        }
        if !self.more.is_empty() {
            others(self.more, each);
        }
    }

    /// The items so far.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.more)
    }
}

impl<T> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut all = Few::default();
        all.extend(items);
        all
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}

#[inline(never)]
fn others<T>(items: Vec<T>, each: impl FnMut(T)) {
    items.into_iter().for_each(each);
}
