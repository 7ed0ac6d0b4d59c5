import Diagnostics
import Files
import Foundation

/// What a SentencePiece file (`spiece.model`) holds: a message of protocol buffers, `ModelProto` of sentencepiece_model.proto.
struct SentencePieceFile {
  /// What a piece is for: the file's numbers.
  enum Kind: UInt64 {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  private(set) var pieces: [(token: String, score: Double, kind: Kind)] = []
  /// Whether the model is a unigram model; otherwise its number in the file.
  private var modelType: UInt64 = 1
  private(set) var fallsBackToBytes = false
  private(set) var characterMap: [UInt8] = []
  private(set) var addsPrefixSpace = true
  private(set) var removesExtraSpaces = true

  init(_ path: String) throws {
    let message = ProtocolMessage(Array(try readFile(path)), path)
    try message.forEach { field, value in
      switch (field, value) {
      case (1, .bytes(let piece)): try add(piece)
      case (2, .bytes(let trainer)):
        try trainer.forEach { field, value in
          if field == 3, case .number(let type) = value { modelType = type }
          if field == 35, case .number(let flag) = value { fallsBackToBytes = flag != 0 }
        }
      case (3, .bytes(let normalizer)):
        try normalizer.forEach { field, value in
          switch (field, value) {
          case (2, .bytes(let map)): characterMap = Array(map.bytes)
          case (3, .number(let flag)): addsPrefixSpace = flag != 0
          case (4, .number(let flag)): removesExtraSpaces = flag != 0
          default: break
          }
        }
      default: break
      }
    }
    guard !pieces.isEmpty else { throw EngineError(.data, "\(path): holds no pieces: not a SentencePiece model") }
    guard modelType == 1 else {
      throw EngineError(
        .data, "\(path): a SentencePiece model of type \(modelType), expected a unigram model (type 1)",
        hint: "save the tokenizer as tokenizer.json with Transformers: AutoTokenizer.from_pretrained(...).save_pretrained(...)")
    }
  }

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

extension TokenizerDefinition {
  /// T5's tokenizer: the pieces, then sentinels that span corruption puts in the place of what is hidden, the last one first.
  ///
  /// Throws where the file's first pieces are not T5's special tokens, because other families put special tokens elsewhere.
  static func t5(_ path: String, sentinels: Int) throws -> TokenizerDefinition {
    let file = try SentencePieceFile(path)
    let special = ["<pad>", "</s>", "<unk>"]
    guard file.pieces.prefix(special.count).map(\.token) == special else {
      throw EngineError(
        .data, "\(path): its first pieces are not T5's (\(special.joined(separator: ", ")))",
        hint: "save the tokenizer as tokenizer.json with Transformers: AutoTokenizer.from_pretrained(...).save_pretrained(...)")
    }
    let extra = file.pieces.contains { $0.token == "<extra_id_0>" } ? [] : (0..<sentinels).reversed().map { "<extra_id_\($0)>" }
    let model = try Unigram(
      file.pieces.map { ($0.token, $0.score) } + extra.map { ($0, 0) }, unknownId: file.unknownId, fallsBackToBytes: file.fallsBackToBytes, at: path)
    var definition = TokenizerDefinition(place: path, model: model)
    definition.addedTokens = special.enumerated().map { AddedToken($1, id: $0) }
    definition.addedTokens += extra.enumerated().map { AddedToken($1, id: file.pieces.count + $0) }
    let space = "\u{2581}"
    var normalizers: [JSONValue] = []
    if !file.characterMap.isEmpty {
      normalizers.append(["type": .string("Precompiled"), "precompiled_charsmap": .string(Data(file.characterMap).base64EncodedString())])
    }
    if file.removesExtraSpaces {
      normalizers.append(["type": .string("Strip"), "strip_left": .bool(false), "strip_right": .bool(true)])
      normalizers.append(["type": .string("Replace"), "pattern": ["Regex": .string(" {2,}")], "content": .string(space)])
    }
    definition.normalizer = ["type": .string("Sequence"), "normalizers": .array(normalizers)]
    let metaspace: JSONValue = [
      "type": .string("Metaspace"), "replacement": .string(space), "prepend_scheme": .string(file.addsPrefixSpace ? "always" : "never"),
      "split": .bool(true),
    ]
    definition.preTokenizer = metaspace
    definition.postProcessor = t5JSON(end: (special[1], 1))
    definition.decoder = metaspace
    return definition
  }
}
