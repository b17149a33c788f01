//! ONNX files byte by byte, by nothing of the crate's: field numbers are those of onnx.proto.

/// A number as protocol buffers have it.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of a number.
pub fn int(field: u64, value: i64) -> Vec<u8> {
    [varint(field << 3), varint(value as u64)].concat()
}

/// A field of bytes, a text or a message.
pub fn bytes(field: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [&varint(field << 3 | 2)[..], &varint(content.len() as u64), content].concat()
}

/// A tensor of `kind` (1 is f32) with `content` in some fields.
pub fn tensor(name: &str, dims: &[i64], kind: i64, content: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&size| int(1, size)).collect();
    [&dims[..], &int(2, kind), &bytes(8, name), content].concat()
}

/// A tensor of f32 in `raw_data`.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, dims, 1, &bytes(9, raw))
}

/// A list of 64-bit integers in `int64_data`.
pub fn integers(name: &str, values: &[i64]) -> Vec<u8> {
    let packed: Vec<u8> = values.iter().flat_map(|&value| varint(value as u64)).collect();
    tensor(name, &[values.len() as i64], 7, &bytes(7, packed))
}

/// The attributes of a node.
pub fn attribute_int(name: &str, value: i64) -> Vec<u8> {
    bytes(5, [bytes(1, name), int(3, value), int(20, 2)].concat())
}

pub fn attribute_ints(name: &str, values: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|&value| int(8, value)).collect();
    bytes(5, [bytes(1, name), values, int(20, 7)].concat())
}

pub fn attribute_float(name: &str, value: f32) -> Vec<u8> {
    let float = [&varint(2 << 3 | 5)[..], &value.to_le_bytes()].concat();
    bytes(5, [bytes(1, name), float, int(20, 1)].concat())
}

pub fn attribute_text(name: &str, value: &str) -> Vec<u8> {
    bytes(5, [bytes(1, name), bytes(4, value), int(20, 3)].concat())
}

pub fn attribute_tensor(name: &str, value: &[u8]) -> Vec<u8> {
    bytes(5, [bytes(1, name), bytes(5, value), int(20, 4)].concat())
}

/// An attribute that is a graph, as `Loop` and `If` have.
pub fn attribute_graph(name: &str, graph: &[u8]) -> Vec<u8> {
    bytes(5, [bytes(1, name), bytes(6, graph), int(20, 5)].concat())
}

/// Name and type of an output of which no shape is stated.
fn shapeless(name: &str) -> Vec<u8> {
    [bytes(1, name), bytes(2, bytes(1, int(1, 1)))].concat()
}

/// Name and type of an input or output; sizes below zero have no value.
pub fn value(name: &str, dims: &[i64]) -> Vec<u8> {
    let dimension = |&size: &i64| bytes(1, if size < 0 { bytes(2, "N") } else { int(1, size) });
    let shape: Vec<u8> = dims.iter().flat_map(dimension).collect();
    let tensor = [int(1, 1), bytes(2, shape)].concat();
    [bytes(1, name), bytes(2, bytes(1, tensor))].concat()
}

/// A model that begins at `x`, its nodes each with constants and attributes.
#[derive(Clone)]
pub struct File {
    /// None is stated if it is zero.
    pub opset: i64,
    pub nodes: Vec<Vec<u8>>,
    pub initializers: Vec<Vec<u8>>,
    pub inputs: Vec<Vec<u8>>,
    /// Outputs before the last one.
    pub outputs: Vec<String>,
    /// What is said of the shapes of other values.
    pub stated: Vec<Vec<u8>>,
    /// What the last node computed, which is an output.
    pub last: String,
}

impl File {
    /// `channels` × `height` × `width` of any number of images.
    pub fn new(opset: i64, [channels, height, width]: [i64; 3]) -> File {
        let inputs = vec![value("x", &[-1, channels, height, width])];
        let last = "x".into();
        File { opset, nodes: vec![], initializers: vec![], inputs, outputs: vec![], stated: vec![], last }
    }

    /// Appends a node on what the last one computed.
    pub fn node(&mut self, operator: &str, constants: &[&str], attributes: &[Vec<u8>]) -> &mut File {
        let inputs: Vec<&str> = std::iter::once(self.last.as_str()).chain(constants.iter().copied()).collect();
        let name = format!("{}{}", operator.to_lowercase(), self.nodes.len());
        self.nodes.push(node(operator, &name, &inputs, attributes));
        self.last = name;
        self
    }

    /// Appends a node called `name` on any inputs.
    pub fn on(&mut self, operator: &str, name: &str, inputs: &[&str], attributes: &[Vec<u8>]) -> &mut File {
        self.nodes.push(node(operator, name, inputs, attributes));
        self.last = name.into();
        self
    }

    /// Appends an initializer.
    pub fn constant(&mut self, tensor: Vec<u8>) -> &mut File {
        self.initializers.push(tensor);
        self
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let part = |field: u64, messages: &[Vec<u8>]| -> Vec<u8> {
            messages.iter().flat_map(|message| bytes(field, message)).collect()
        };
        let outputs: Vec<u8> =
            self.outputs.iter().chain([&self.last]).flat_map(|name| bytes(12, shapeless(name))).collect();
        let graph = [
            part(1, &self.nodes),
            bytes(2, "g"),
            part(5, &self.initializers),
            part(11, &self.inputs),
            outputs,
            part(13, &self.stated),
        ];
        let opset = bytes(8, [bytes(1, ""), int(2, self.opset)].concat());
        [int(1, 7), bytes(7, graph.concat()), if self.opset == 0 { vec![] } else { opset }].concat()
    }
}

/// A node called like its output.
pub fn node(operator: &str, name: &str, inputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    node_of(operator, name, inputs, &[name], attributes)
}

/// A node of any number of outputs.
pub fn node_of(operator: &str, name: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input)).collect();
    let outputs: Vec<u8> = outputs.iter().flat_map(|output| bytes(2, output)).collect();
    [&inputs[..], &outputs, &bytes(3, name), &bytes(4, operator), &attributes.concat()].concat()
}

/// Numbers of either sign, different from each other.
pub fn some(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| (((i + 31 * seed) * 7919) % 211) as f32 / 211.0 - 0.47).collect()
}
