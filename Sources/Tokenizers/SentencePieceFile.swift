import Diagnostics
import Files
import Foundation

/// What a SentencePiece file (`spiece.model`, `tokenizer.model`) holds: a message of protocol buffers, `ModelProto` of sentencepiece_model.proto.
struct SentencePieceFile {
  /// What a piece is for: the file's numbers.
  enum Kind: UInt64 {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  /// How a text is cut into pieces: the file's numbers.
  enum ModelType: UInt64 {
    case unigram = 1
    case bpe, word, character
  }

  let path: String
  private(set) var pieces: [(token: String, score: Double, kind: Kind)] = []
  private var modelType: UInt64 = 1
  /// Whether a text is cut into the pieces that are most probable together, as by T5's tokenizer.
  var isUnigram: Bool { modelType == ModelType.unigram.rawValue }
  /// The tokens that begin and end a text.
  private(set) var (begin, end) = ("<s>", "</s>")
  private(set) var fallsBackToBytes = false
  private(set) var characterMap: [UInt8] = []
  private(set) var addsPrefixSpace = true
  private(set) var removesExtraSpaces = true

  /// Throws for files that are damaged, or have options that nothing here reads.
  init(_ path: String) throws {
    self.path = path
    let message = ProtocolMessage(Array(try readFile(path)), path)
    try message.forEach { field, value in
      switch (field, value) {
      case (1, .bytes(let piece)): try add(piece)
      case (2, .bytes(let trainer)):
        try trainer.forEach { field, value in
          switch (field, value) {
          case (3, .number(let type)): modelType = type
          case (24, .number(let flag)) where flag != 0: throw unsupported("treat_whitespace_as_suffix")
          case (35, .number(let flag)): fallsBackToBytes = flag != 0
          case (46, .bytes(let text)): begin = String(decoding: text.bytes, as: UTF8.self)
          case (47, .bytes(let text)): end = String(decoding: text.bytes, as: UTF8.self)
          default: break
          }
        }
      case (3, .bytes(let normalizer)):
        try normalizer.forEach { field, value in
          switch (field, value) {
          case (2, .bytes(let map)): characterMap = Array(map.bytes)
          case (3, .number(let flag)): addsPrefixSpace = flag != 0
          case (4, .number(let flag)): removesExtraSpaces = flag != 0
          case (5, .number(let flag)) where flag == 0: throw unsupported("escape_whitespaces = false")
          default: break
          }
        }
      case (5, .bytes(let denormalizer)):
        try denormalizer.forEach { field, value in
          if field == 2, case .bytes(let map) = value, !map.bytes.isEmpty { throw unsupported("a denormalizer") }
        }
      default: break
      }
    }
    guard !pieces.isEmpty else { throw EngineError(.data, "\(path): holds no pieces: not a SentencePiece model") }
  }

  private static let remedy = "save the tokenizer as tokenizer.json with Transformers: AutoTokenizer.from_pretrained(...).save_pretrained(...)"

  private func unsupported(_ what: String) -> EngineError { EngineError(.data, "\(path): \(what) is not supported", hint: Self.remedy) }

  /// Throws unless the model is of a type.
  func require(_ type: ModelType) throws {
    guard modelType == type.rawValue else {
      let found = ModelType(rawValue: modelType).map { "\($0)" } ?? "unknown"
      throw EngineError(.data, "\(path): a SentencePiece model of the type \(found), expected \(type)", hint: Self.remedy)
    }
  }

  /// An error about pieces that are not those that are expected.
  func misfit(_ what: String) -> EngineError { EngineError(.data, "\(path): \(what)", hint: Self.remedy) }

  private mutating func add(_ message: ProtocolMessage) throws {
    var (token, score, kind) = ("", 0.0, Kind.normal)
    try message.forEach { field, value in
      switch (field, value) {
      case (1, .bytes(let text)): token = String(decoding: text.bytes, as: UTF8.self)
      case (2, .fixed32(let bits)): score = Double(Float(bitPattern: bits))
      case (3, .number(let number)): kind = Kind(rawValue: number) ?? .normal
      default: break
      }
    }
    guard score.isFinite else { throw EngineError(.data, "\(message.path): piece \(pieces.count) has a score that is not finite") }
    pieces.append((token, score, kind))
  }

  /// The id of the token for what the others cannot spell.
  var unknownId: Int? { pieces.firstIndex { $0.kind == .unknown } }
}

/// A message of protocol buffers: numbered fields, without a schema.
private struct ProtocolMessage {
  enum Value {
    case number(UInt64)
    case fixed32(UInt32)
    case bytes(ProtocolMessage)
  }

  let bytes: ArraySlice<UInt8>
  let path: String

  init(_ bytes: [UInt8], _ path: String) { self.init(slice: bytes[...], path) }

  private init(slice: ArraySlice<UInt8>, _ path: String) { (bytes, self.path) = (slice, path) }

  private func damaged(_ position: Int) -> EngineError {
    EngineError(.data, "\(path): damaged at byte \(position): not a SentencePiece model")
  }

  /// Fields of 64 bits are passed over: the files have none.
  func forEach(_ body: (_ field: UInt64, Value) throws -> Void) throws {
    var rest = bytes
    func varint() throws -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 64, by: 7) {
        guard let byte = rest.popFirst() else { throw damaged(bytes.endIndex) }
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
      }
      throw damaged(rest.startIndex)
    }
    func take(_ count: UInt64) throws -> ArraySlice<UInt8> {
      guard count <= UInt64(rest.count) else { throw damaged(rest.startIndex) }
      defer { rest = rest.dropFirst(Int(count)) }
      return rest.prefix(Int(count))
    }
    while !rest.isEmpty {
      let key = try varint()
      switch key & 7 {
      case 0: try body(key >> 3, .number(try varint()))
      case 1: _ = try take(8)
      case 2: try body(key >> 3, .bytes(ProtocolMessage(slice: try take(try varint()), path)))
      case 5:
        let word = try take(4)
        try body(key >> 3, .fixed32(word.reversed().reduce(0) { $0 << 8 | UInt32($1) }))
      default: throw damaged(rest.startIndex)
      }
    }
  }
}
