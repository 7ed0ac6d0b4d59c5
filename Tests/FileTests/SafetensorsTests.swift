import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import Files

private let reference = packageRoot + "/Tests/FileTests/Fixtures/reference.safetensors"

@Suite struct SafetensorsTests {
  /// A file from a header text and a number of data bytes.
  private static func file(_ header: String, data: Int = 0, length: UInt64? = nil) -> Data {
    var bytes = withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { Data($0) }
    bytes.append(contentsOf: header.utf8)
    bytes.append(Data(count: data))
    return bytes
  }

  private static func tensor(_ shape: String, _ begin: Int, _ end: Int) -> String {
    #"{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(begin),\#(end)]}"#
  }

  static let malformed: [(name: String, bytes: Data, message: String)] = [
    ("empty file", Data(), "not a safetensors file: 0 bytes"),
    ("seven bytes", Data(count: 7), "not a safetensors file: 7 bytes"),
    ("no header", file(""), "the header is not a JSON object"),
    ("header longer than file", file("{}", length: 900), "header of 900 bytes does not fit in"),
    (
      "header a byte too long", file("{}", length: 3),
      "header of 3 bytes does not fit in a file of 10"
    ),
    ("header beyond limit", file("{}", length: 100_000_001), "would be 100000001 bytes long"),
    ("header beyond Int", file("{}", length: .max), "18446744073709551615 bytes long"),
    ("array as header", file("[]"), "the header is not a JSON object"),
    ("broken JSON", file("{\"a\":"), "invalid JSON: expected a value, the text ends"),
    ("leading space", file(" {}"), "the header is not a JSON object"),
    (
      "invalid UTF-8", Data([6, 0, 0, 0, 0, 0, 0, 0, 0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x7D]),
      "invalid UTF-8"
    ),
    (
      "duplicate names",
      file("{\"a\":\(tensor("[1]", 0, 4)),\"a\":\(tensor("[1]", 0, 4))}", data: 4),
      "duplicate key \"a\""
    ),
    (
      "deep nesting", file("{\"a\":" + String(repeating: "[", count: 1000)),
      "nested deeper than 16 levels"
    ),
    ("tensor no object", file("{\"a\":3}"), "tensor 'a': expected an object, found an integer"),
    ("no dtype", file("{\"a\":{}}"), "tensor 'a': no dtype"),
    (
      "unknown dtype", file(#"{"a":{"dtype":"F8_E4M3","shape":[],"data_offsets":[0,1]}}"#, data: 1),
      "tensor 'a': unknown dtype 'F8_E4M3', expected one of F64, F32"
    ),
    ("no shape", file(#"{"a":{"dtype":"F32"}}"#), "tensor 'a': no shape"),
    (
      "unknown field", file(#"{"a":{"dtype":"F32","shapes":[]}}"#),
      "tensor 'a': unknown field 'shapes'"
    ),
    ("no offsets", file(#"{"a":{"dtype":"F32","shape":[]}}"#), "tensor 'a': no data_offsets"),
    (
      "three offsets", file(#"{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4,8]}}"#, data: 8),
      "tensor 'a': data_offsets must be [begin, end], found [0, 4, 8]"
    ),
    ("begin after end", file("{\"a\":\(tensor("[1]", 4, 0))}", data: 4), "found [4, 0]"),
    (
      "negative offset", file("{\"a\":\(tensor("[1]", -4, 0))}", data: 4),
      "data_offsets must hold integers of at least 0, found -4"
    ),
    (
      "fractional offset",
      file(#"{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4.5]}}"#, data: 4), "found 4.5"
    ),
    (
      "offset beyond Int",
      file(
        #"{"a":{"dtype":"F32","shape":[],"data_offsets":[0,18446744073709551616]}}"#, data: 4),
      "data_offsets must hold integers of at least 0"
    ),
    (
      "largest offset", file("{\"a\":\(tensor("[1]", 0, .max))}", data: 4),
      "tensor 'a': ends at byte 9223372036854775807 of the data, which has 4 bytes; the file is "
        + "truncated"
    ),
    (
      "negative dimension", file("{\"a\":\(tensor("[-1]", 0, 4))}", data: 4),
      "shape must hold integers of at least 0, found -1"
    ),
    (
      "size mismatch", file("{\"a\":\(tensor("[2, 3]", 0, 4))}", data: 4),
      "tensor 'a': shape [2, 3] of F32 takes 24 bytes, data_offsets give it 4"
    ),
    (
      "shape overflow", file("{\"a\":\(tensor("[4294967296,4294967296]", 0, 4))}", data: 4),
      "tensor 'a': shape [4294967296, 4294967296] is too large"
    ),
    (
      "overflow beside zero",
      file("{\"a\":\(tensor("[0,4611686018427387904,4611686018427387904]", 0, 0))}"), "is too large"
    ),
    (
      "overlap", file("{\"a\":\(tensor("[2]", 0, 8)),\"b\":\(tensor("[2]", 4, 12))}", data: 12),
      "tensors 'a' and 'b' overlap"
    ),
    (
      "gap", file("{\"a\":\(tensor("[1]", 0, 4)),\"b\":\(tensor("[1]", 8, 12))}", data: 12),
      "4 bytes before tensor 'b' belong to no tensor"
    ),
    ("gap at start", file("{\"b\":\(tensor("[1]", 4, 8))}", data: 8), "4 bytes before tensor 'b'"),
    (
      "trailing bytes", file("{\"a\":\(tensor("[1]", 0, 4))}", data: 5),
      "1 bytes at the end belong to no tensor"
    ),
    ("only data", file("{}", data: 3), "3 bytes at the end belong to no tensor"),
    ("metadata list", file(#"{"__metadata__":[]}"#), "__metadata__ must be an object of strings"),
    (
      "metadata number", file(#"{"__metadata__":{"a":1}}"#),
      "__metadata__: 'a' must be a string, found an integer"
    ),
  ]

  @Test(arguments: malformed.indices) func rejectsMalformedFiles(place: Int) throws {
    let (name, bytes, message) = Self.malformed[place]
    try withTemporaryFolder { folder in
      let path = folder + "/\(place).safetensors"
      try AtomicFile.write(bytes, to: path)
      #expect("\(name)") { try SafetensorsFile(path) } throws: { error in
        let text = "\(error)"
        return error is EngineError && text.hasPrefix(path) && text.contains(message)
          && !text.contains("\n")
      }
    }
  }

  /// Bytes are flipped and cut at random: whatever comes, the result is tensors within the file or
  /// an `EngineError`.
  @Test func neverReadsOutsideAFile() throws {
    let bytes = [UInt8](try readFile(reference))
    var random = SeededNumbers(seed: 1)
    var accepted = 0
    for _ in 0..<2000 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let inHeader = Bool.random(using: &random) ? 120 : damaged.count
        let place = Int.random(in: 0..<min(inHeader, damaged.count), using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: damaged[place] = UInt8(ascii: "9")
        case 2: damaged.remove(at: place)
        default: damaged.removeLast(Int.random(in: 0..<8, using: &random))
        }
      }
      do {
        let header = try damaged.withUnsafeBytes { try SafetensorsHeader(bytes: $0, path: "f") }
        for entry in header.entries {
          #expect(entry.range.lowerBound >= 8 && entry.range.upperBound <= damaged.count)
          #expect(entry.dtype.byteCount(ofShape: entry.shape) == entry.range.count)
        }
        accepted += 1
      } catch is EngineError {
      }
    }
    #expect(accepted > 0 && accepted < 2000)
  }

  @Test func readsAFileOfTheReferenceLibrary() throws {
    let file = try SafetensorsFile(reference)
    #expect(file.metadata == ["format": "pt"])
    #expect(file.entries.count == 12)
    let weight = try file.entry("embeddings.weight")
    #expect(weight.dtype == .float32)
    #expect(weight.shape == [2, 3])
    let values = try file.withBytes(of: weight) { bytes in
      (0..<6).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
    #expect(values == [0, 0.25, 0.5, 0.75, 1, 1.25])
    #expect(try file.entry("scalar").shape == [])
    #expect(try file.entry("empty").range.isEmpty)
    try file.withBytes(of: "position_ids") { entry, bytes in
      #expect(entry.shape == [1, 4])
      #expect(bytes.loadUnaligned(fromByteOffset: 24, as: Int64.self) == 3)
    }
    #expect { try file.entry("embedding.weight") } throws: {
      "\($0)".hasSuffix("no tensor 'embedding.weight'; did you mean 'embeddings.weight'?")
    }
  }

  /// The same tensors, given in another order, become the reference library's file byte for byte.
  @Test func writesWhatTheReferenceLibraryWrites() throws {
    let file = try SafetensorsFile(reference)
    try withTemporaryFolder { folder in
      let path = folder + "/copy.safetensors"
      let tensors = file.entries.sorted { $0.name > $1.name }.map { entry in
        TensorToSave(entry.name, dtype: entry.dtype, shape: entry.shape) { body in
          try file.withBytes(of: entry) { try body($0) }
        }
      }
      try SafetensorsFile.write(tensors, to: path)
      #expect(try readFile(path) == readFile(reference))
      try SafetensorsFile.write([], metadata: [:], to: path)
      #expect(try SafetensorsFile(path).entries.isEmpty)
    }
  }

  @Test func keepsTheOldFileWhenASaveFails() throws {
    let ones = [Float](repeating: 1, count: 6)
    try withTemporaryFolder { folder in
      let path = folder + "/f.safetensors"
      try SafetensorsFile.write(
        [.init("a", dtype: .float32, shape: [6], data: ones.bytes)], to: path)
      let before = try readFile(path)
      let cases: [([TensorToSave], String)] = [
        (
          [
            .init("a", dtype: .float32, shape: [6], data: ones.bytes),
            .init("a", dtype: .float32, shape: [6], data: ones.bytes),
          ], "two tensors have this name"
        ),
        (
          [.init("a", dtype: .float64, shape: [6], data: ones.bytes)],
          "tensor 'a': shape [6] of F64 takes 48 bytes, given 24"
        ),
        ([.init("a", dtype: .float32, shape: [-1], data: ones.bytes)], "shape [-1] is negative"),
        ([.init("a", dtype: .float32, shape: [.max, 2], data: ones.bytes)], "or too large"),
        ([.init("__metadata__", dtype: .int8, shape: [0], data: Data())], "the name is reserved"),
        ([.init("a", dtype: .int8, shape: [0]) { _ in }], "no bytes given"),
      ]
      for (tensors, message) in cases {
        #expect("\(message)") { try SafetensorsFile.write(tensors, to: path) } throws: {
          "\($0)".contains(message)
        }
      }
      let corrupting: @Sendable (Int32, UnsafeRawPointer, Int) -> Int = {
        descriptor, bytes, count in
        var copy = [UInt8](UnsafeRawBufferPointer(start: bytes, count: count))
        if count == 24 { copy[5] ^= 1 }
        return write(descriptor, copy, count)
      }
      #expect {
        try FileWriter.withSystemWrite(corrupting) {
          try SafetensorsFile.write(
            [.init("a", dtype: .float32, shape: [6], data: ones.bytes)], to: path)
        }
      } throws: { "\($0)".contains("does not read back as it was") }
      #expect(try readFile(path) == before)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 1)
    }
  }
}

extension [Float] {
  fileprivate var bytes: Data { withUnsafeBytes { Data($0) } }
}

/// SplitMix64: the same numbers on every run.
struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
