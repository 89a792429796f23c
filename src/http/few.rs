//! A list that mostly has one item, for which it takes no allocation.

/// Items in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct Few<T> {
    first: Option<T>,
    /// None rather than an empty one, which would have to be dropped.
    more: Option<Vec<T>>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Few {
            first: None,
            more: None,
        }
    }
}

impl<T> Few<T> {
    /// Adds an item behind the others.
    pub fn push(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.more.get_or_insert_default().push(item);
        }
    }

    /// Does something with each.
    pub fn for_each(&self, mut each: impl FnMut(&T)) {
        let _: Option<()> = self.find_map(|item| {
            each(item);
            None
        });
    }

    /// What the first item gives that gives anything.
    pub fn find_map<R>(&self, mut give: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let found = self.first.as_ref().and_then(&mut give);
        match &self.more {
            Some(more) if found.is_none() => others(more, give),
            _ => found,
        }
    }

    /// The first item.
    pub fn first(&self) -> Option<&T> {
        self.first.as_ref()
    }

    /// The items so far.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.more.iter().flatten())
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

#[inline(never)]
fn others<T, R>(items: &[T], give: impl FnMut(&T) -> Option<R>) -> Option<R> {
    items.iter().find_map(give)
}
