import Foundation
import TestSupport
import Tokenizers

/// The recorded answers of the reference, made by `Generators/make_fixtures.py`.
struct Fixture {
  let members: [String: Any]

  init(_ name: String) throws {
    self = try once("fixture " + name) { try Fixture(path: packageRoot + "/Tests/TokenizerTests/Fixtures/" + name) }
  }

  init(path: String) throws {
    members = try decode(Data(contentsOf: URL(fileURLWithPath: path)))
  }

  subscript<Value>(key: String, as type: Value.Type = Value.self) -> Value {
    get throws { try unwrap(members[key] as? Value, key) }
  }

  /// One JSON object per line.
  static func lines(_ path: String) throws -> [[String: Any]] {
    try Data(contentsOf: URL(fileURLWithPath: path)).split(separator: UInt8(ascii: "\n"))
      .map { try decode(Data($0)) }
  }
}

private let lock = NSRecursiveLock()
nonisolated(unsafe) private var made: [String: Any] = [:]

/// What several tests share, made by the first of them: unoptimised code takes long to read large files.
func once<Value>(_ name: String, _ make: () throws -> Value) throws -> Value {
  lock.lock()
  defer { lock.unlock() }
  if let value = made[name] as? Value { return value }
  let value = try make()
  made[name] = value
  return value
}

struct MissingValue: Error {
  let what: String
}

func unwrap<Value>(_ value: Value?, _ what: String) throws -> Value {
  guard let value else { throw MissingValue(what: what) }
  return value
}

private func decode(_ data: Data) throws -> [String: Any] {
  try unwrap(try JSONSerialization.jsonObject(with: data) as? [String: Any], "an object")
}

/// `Digest` of the generator: rows of numbers, as 64 bits.
struct Digest {
  private(set) var value: UInt64 = 0

  mutating func add(_ numbers: [Int32]) {
    var row: UInt64 = 0
    var power: UInt64 = 1
    for number in numbers {
      row &+= (UInt64(number) &+ 1) &* power
      power = power &* 0x9E37_79B9_7F4A_7C15
    }
    value = value &* 0xBF58_476D_1CE4_E5B9 &+ row
  }

  var text: String {
    let hex = String(value, radix: 16)
    return String(repeating: "0", count: 16 - hex.count) + hex
  }
}

/// The families whose files the shared test data has.
let families = ["roberta-base", "gpt2", "bert-base-uncased", "t5"]

func tokenizerFolder(_ family: String) throws -> String {
  try unwrap(testData("tokenizers/" + family), family)
}

func publishedTokenizer(_ family: String) throws -> Tokenizer {
  try once("tokenizer " + family) { try Tokenizer.load(folder: tokenizerFolder(family)) }
}

let hasTokenizers = families.allSatisfy { testData("tokenizers/\($0)/tokenizer.json") != nil }

/// Unoptimised code is some fifty times slower: debug runs take a part of the long sweeps.
#if DEBUG
  let isOptimised = false
#else
  let isOptimised = true
#endif

func write(_ files: [String: String], to folder: String) throws {
  for (name, text) in files {
    let url = URL(fileURLWithPath: folder + "/" + name)
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: url)
  }
}

/// Text equality by scalar; `==` takes canonically equivalent texts for equal.
func same(_ left: String, _ right: String) -> Bool {
  left.unicodeScalars.elementsEqual(right.unicodeScalars)
}
