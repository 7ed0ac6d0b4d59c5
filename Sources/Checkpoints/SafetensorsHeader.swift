import Diagnostics
import Files

/// The header of a safetensors file, read with every check that has to precede touching the
/// tensors.
struct SafetensorsHeader {
  var metadata: [String: String] = [:]
  /// In the order of their bytes.
  var entries: [SafetensorsFile.Entry] = []
  private let path: String

  init(bytes: UnsafeRawBufferPointer, path: String) throws {
    self.path = path
    guard bytes.count >= 8 else {
      throw EngineError(
        .data,
        "\(path): not a safetensors file: \(bytes.count) bytes, shorter than the 8-byte "
          + "header length")
    }
    let declared = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard let length = Int(exactly: declared), length <= SafetensorsFile.maximumHeader else {
      throw EngineError(
        .data,
        "\(path): not a safetensors file: its header would be \(declared) bytes long, "
          + "the limit is \(SafetensorsFile.maximumHeader)")
    }
    guard length <= bytes.count - 8 else {
      throw EngineError(
        .data, "\(path): header of \(length) bytes does not fit in a file of \(bytes.count) bytes",
        hint: "the file is truncated or not a safetensors file")
    }
    guard length >= 2, bytes[8] == UInt8(ascii: "{") else {
      throw failure("the header is not a JSON object")
    }
    let json = try JSONValue(
      parsing: UnsafeRawBufferPointer(rebasing: bytes[8..<8 + length]), source: path,
      maximumDepth: 16)
    guard case .object(let members) = json else {
      throw failure("the header is not a JSON object")
    }
    let start = 8 + length
    for (name, value) in members.members {
      if name == "__metadata__" {
        try readMetadata(value)
      } else {
        entries.append(try readEntry(name, value, start: start, end: bytes.count))
      }
    }
    try checkCoverage(start: start, end: bytes.count)
  }

  private mutating func readMetadata(_ value: JSONValue) throws {
    guard let members = value.objectValue else {
      throw failure("__metadata__ must be an object of strings, found \(value.kindName)")
    }
    for (key, value) in members.members {
      guard let text = value.stringValue else {
        throw failure("__metadata__: '\(key)' must be a string, found \(value.kindName)")
      }
      metadata[key] = text
    }
  }

  private func readEntry(
    _ name: String, _ value: JSONValue, start: Int, end: Int
  ) throws -> SafetensorsFile.Entry {
    guard let fields = value.objectValue else {
      throw failure("tensor '\(name)': expected an object, found \(value.kindName)")
    }
    for field in fields.keys where !["dtype", "shape", "data_offsets"].contains(field) {
      throw failure("tensor '\(name)': unknown field '\(field)'")
    }
    guard let word = fields["dtype"]?.stringValue else {
      throw failure("tensor '\(name)': no dtype")
    }
    guard let dtype = ScalarType(rawValue: word) else {
      let known = ScalarType.allCases.map(\.rawValue).joined(separator: ", ")
      throw failure("tensor '\(name)': unknown dtype '\(word)', expected one of \(known)")
    }
    let shape = try integers(fields["shape"], "shape", of: name)
    let offsets = try integers(fields["data_offsets"], "data_offsets", of: name)
    guard offsets.count == 2, offsets[0] <= offsets[1] else {
      throw failure("tensor '\(name)': data_offsets must be [begin, end], found \(offsets)")
    }
    guard offsets[1] <= end - start else {
      throw failure(
        "tensor '\(name)': ends at byte \(offsets[1]) of the data, which has \(end - start) bytes",
        hint: "the file is truncated")
    }
    guard let size = dtype.byteCount(ofShape: shape) else {
      throw failure("tensor '\(name)': shape \(shape) is too large")
    }
    guard size == offsets[1] - offsets[0] else {
      throw failure(
        "tensor '\(name)': shape \(shape) of \(word) takes \(size) bytes, "
          + "data_offsets give it \(offsets[1] - offsets[0])")
    }
    return SafetensorsFile.Entry(
      name: name, dtype: dtype, shape: shape, range: start + offsets[0]..<start + offsets[1])
  }

  private func integers(_ value: JSONValue?, _ field: String, of name: String) throws -> [Int] {
    guard let elements = value?.arrayValue else {
      throw failure("tensor '\(name)': no \(field), expected an array of integers")
    }
    return try elements.map {
      guard case .int(let number) = $0, number >= 0 else {
        throw failure(
          "tensor '\(name)': \(field) must hold integers of at least 0, found \($0.excerpt())")
      }
      return number
    }
  }

  /// The tensors must tile the data: no byte belongs to two of them, or to none.
  private mutating func checkCoverage(start: Int, end: Int) throws {
    entries.sort { a, b in
      (a.range.lowerBound, a.range.upperBound, a.name)
        < (b.range.lowerBound, b.range.upperBound, b.name)
    }
    var position = start
    var previous: String?
    for entry in entries {
      if entry.range.lowerBound < position {
        throw failure("tensors '\(previous ?? "")' and '\(entry.name)' overlap")
      }
      if entry.range.lowerBound > position {
        throw failure(
          "\(entry.range.lowerBound - position) bytes before tensor '\(entry.name)' belong to no "
            + "tensor")
      }
      position = entry.range.upperBound
      previous = entry.name
    }
    if position < end {
      throw failure("\(end - position) bytes at the end belong to no tensor")
    }
  }

  private func failure(_ what: String, hint: String? = nil) -> EngineError {
    EngineError(.data, "\(path): \(what)", hint: hint)
  }
}
