import Checkpoints
import Datasets
import Files
import Foundation
import Tokenizers

/// The tokens of a data set in a file, named by the digest of all that they depend on, so that equal data is tokenised once.
///
/// It is never an obstacle: a file that is missing, damaged or of another version counts as absent, and where the folder
/// cannot be written, the tokens are made anew in every run.
struct TokenFile {
  private let folder: String
  private let key: Digest

  /// Part of the key: to be raised whenever the same tokenizer gives other ids, or the file's layout changes.
  private static let version = 3
  /// Smaller sets are tokenised in a few milliseconds.
  private static let fewestTokens = 20_000
  /// Bytes of all files of the folder; the least recently used ones go first.
  private static let folderLimit = 1 << 30

  init(folder: String, examples: [Example], type: any TaskType, tokenizer: Tokenizer, maxLength: Int, maxTargetLength: Int? = nil) throws {
    self.folder = folder
    let stream = DigestStream()
    stream.update(Array("\(Self.version) \(maxLength) \(examples.count)\(maxTargetLength.map { " \($0)" } ?? "")\n".utf8))
    stream.update(Array((tokenizer.digest().hex + Swift.type(of: type).encodingName).utf8))
    func update(_ text: String) {
      var text = text
      text.withUTF8 { bytes in
        // Lengths keep "ab", "c" apart from "a", "bc".
        withUnsafeBytes(of: bytes.count) { stream.update($0) }
        stream.update(UnsafeRawBufferPointer(bytes))
      }
    }
    for example in examples {
      update(example.text)
      if let pair = example.textPair { update(pair) } else { withUnsafeBytes(of: -1) { stream.update($0) } }
      if case .texts(let texts) = example.target { texts.forEach(update) }
    }
    key = stream.finish()
  }

  private var path: String { "\(folder)/\(key.hex).safetensors" }

  /// The stored tokens of `count` examples; nil where there are none, or damaged ones.
  func read(count: Int) -> TokenColumns? {
    guard let file = try? SafetensorsFile(path) else { return nil }
    func column<Element>(_ name: String, _ type: ScalarType, _: Element.Type) throws -> [Element]? {
      try file.withBytes(of: name) { entry, bytes in
        guard entry.dtype == type, file.metadata[name] == Digest(of: bytes).hex else { return nil }
        return [Element](unsafeUninitializedCapacity: bytes.count / MemoryLayout<Element>.stride) { buffer, initialized in
          UnsafeMutableRawBufferPointer(buffer).copyMemory(from: bytes)
          initialized = buffer.count
        }
      }
    }
    guard let ids = try? column("ids", .int32, Int32.self), let types = try? column("token_types", .int32, Int32.self),
      let special = try? column("special", .uint8, UInt8.self), let starts = try? column("starts", .int64, Int.self),
      let targets = try? column("targets", .int32, Int32.self), let targetStarts = try? column("target_starts", .int64, Int.self),
      types.count == ids.count, special.count == ids.count, isPartition(starts, of: ids.count, count),
      targetStarts.isEmpty && targets.isEmpty || isPartition(targetStarts, of: targets.count, count),
      let truncated = file.metadata["truncated"].flatMap({ Int($0) }),
      (0...count).contains(truncated)
    else { return nil }
    // Its time says when it was last of use.
    touch(path)
    return TokenColumns(
      ids: ids, tokenTypes: types, special: special, starts: starts, targets: targets, targetStarts: targetStarts, truncated: truncated)
  }

  private func isPartition(_ starts: [Int], of tokens: Int, _ count: Int) -> Bool {
    starts.count == count + 1 && starts.first == 0 && starts.last == tokens && zip(starts, starts.dropFirst()).allSatisfy { $0 <= $1 }
  }

  /// Stores tokens, unless they are few; failures are of no consequence.
  func write(_ tokens: TokenColumns) {
    guard tokens.ids.count + tokens.targets.count >= Self.fewestTokens else { return }
    var metadata = ["truncated": String(tokens.truncated)]
    func column<Element>(_ name: String, _ type: ScalarType, _ elements: [Element]) -> TensorToSave {
      metadata[name] = elements.withUnsafeBytes { Digest(of: $0) }.hex
      return TensorToSave(name, dtype: type, shape: [elements.count]) { body in try elements.withUnsafeBytes { try body($0) } }
    }
    let columns = [
      column("ids", .int32, tokens.ids), column("token_types", .int32, tokens.tokenTypes),
      column("special", .uint8, tokens.special), column("starts", .int64, tokens.starts), column("targets", .int32, tokens.targets),
      column("target_starts", .int64, tokens.targetStarts),
    ]
    do {
      let place = try OwnFolder(FilePath.folder(of: folder)).place(FilePath.name(of: folder) + "/" + FilePath.name(of: path))
      try SafetensorsFile.write(columns, metadata: metadata, to: place)
      try removeOldest()
    } catch {
      return
    }
  }

  private func removeOldest() throws {
    let files = try AtomicFolder.names(in: folder).filter { FilePath.fileExtension(of: $0) == "safetensors" }
      .compactMap { name in fileFacts(folder + "/" + name).map { (path: folder + "/" + name, facts: $0) } }
    var total = 0
    for file in files.sorted(by: { $0.facts.modified > $1.facts.modified }) {
      total += file.facts.size
      if total > Self.folderLimit { removeTree(file.path) }
    }
  }
}
