//! Numbers out of a fuzzer's bytes.

/// Takes numbers from bytes; zeros when they are used up.
pub struct Numbers<'a>(&'a [u8]);

impl<'a> Numbers<'a> {
    /// From the first byte on.
    pub fn of(bytes: &'a [u8]) -> Self {
        Numbers(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// From `least` to `most`, by one byte.
    pub fn within(&mut self, least: usize, most: usize) -> usize {
        least + usize::from(self.byte()) % (most - least + 1)
    }

    /// One of `values`, by one byte.
    pub fn of_list<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.within(0, values.len() - 1)]
    }
}
