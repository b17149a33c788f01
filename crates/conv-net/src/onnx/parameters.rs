//! What a node's constants are made of.

use std::sync::Arc;

use super::constants::{Constant, FileError, Files};
use super::literal::own_bytes;

/// A constant of a node, in the order in which it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Source {
    elements: Elements,
    /// Rows and columns of what is asked for, whose columns are the rows of what is there.
    transposed: Option<[usize; 2]>,
    /// What elements are multiplied by.
    factor: f32,
}

#[derive(Debug, Clone)]
enum Elements {
    Stored(Constant),
    Literal(Arc<[f32]>),
    /// All the same, however many.
    Fill(f32),
}

impl Source {
    pub fn stored(constant: Constant) -> Self {
        Source { elements: Elements::Stored(constant), transposed: None, factor: 1.0 }
    }

    pub fn literal(values: Arc<[f32]>) -> Self {
        Source { elements: Elements::Literal(values), transposed: None, factor: 1.0 }
    }

    pub fn fill(value: f32) -> Self {
        Source { elements: Elements::Fill(value), transposed: None, factor: 1.0 }
    }

    /// The same matrix the other way round: `rows` × `columns` of it are asked for.
    pub fn transposed(self, [rows, columns]: [usize; 2]) -> Self {
        let transposed = if self.transposed.is_some() { None } else { Some([rows, columns]) };
        Source { transposed, ..self }
    }

    pub fn times(self, factor: f32) -> Self {
        Source { factor: self.factor * factor, ..self }
    }

    /// Whether it is known that each element is `value`.
    pub fn is(&self, value: f32) -> bool {
        match &self.elements {
            Elements::Literal(values) => values.iter().all(|&element| element == value),
            Elements::Fill(all) => *all == value,
            Elements::Stored(_) => false,
        }
    }

    /// Bytes of elements in memory that nothing else shares.
    pub fn own_bytes(&self) -> usize {
        if let Elements::Literal(values) = &self.elements { own_bytes(values) } else { 0 }
    }

    /// All `count` elements.
    pub fn all(&mut self, files: &mut Files, count: usize) -> Result<Vec<f32>, FileError> {
        let mut values = vec![0.0; count];
        self.read(files, 0, &mut values)?;
        Ok(values)
    }

    /// Writes the elements from `first` on.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(&mut self, files: &mut Files, first: usize, values: &mut [f32]) -> Result<(), FileError> {
        match self.transposed {
            None => self.elements.read(files, first, values)?,
            Some([rows, columns]) => {
                // The rows that are asked for are a stretch of each row that is there.
                let (start, end) = (first / columns, (first + values.len()).div_ceil(columns));
                let mut stretch = vec![0.0; end - start];
                for column in 0..columns {
                    self.elements.read(files, column * rows + start, &mut stretch)?;
                    for (row, &value) in stretch.iter().enumerate() {
                        let place = ((start + row) * columns + column).checked_sub(first);
                        if let Some(slot) = place.and_then(|place| values.get_mut(place)) {
                            *slot = value;
                        }
                    }
                }
            }
        }
        if self.factor != 1.0 {
            values.iter_mut().for_each(|value| *value *= self.factor);
        }
        Ok(())
    }
}

impl Elements {
    fn read(&mut self, files: &mut Files, first: usize, values: &mut [f32]) -> Result<(), FileError> {
        match self {
            Elements::Stored(constant) => constant.read(files, first, values),
            Elements::Literal(all) => {
                values.copy_from_slice(&all[first..first + values.len()]);
                Ok(())
            }
            Elements::Fill(value) => {
                values.fill(*value);
                Ok(())
            }
        }
    }
}
