import Diagnostics
import Files
import Foundation

/// The weights in a Hugging Face model folder: `model.safetensors`, or the shards that
/// `model.safetensors.index.json` lists; where there is neither, `pytorch_model.bin` in the same two ways, of which nothing
/// is run.
public final class WeightsFolder: Sendable {
  public let path: String
  /// All tensors' names, sorted.
  public let names: [String]
  /// The files opened, each once.
  public let files: [any TensorFile]
  private let fileOfName: [String: Int]

  /// Names of one file, and of the index of several, in the order in which they are looked for.
  private static let layouts = ["model.safetensors", "pytorch_model.bin"].map { (single: $0, index: $0 + ".index.json") }

  /// Opens and checks all files. `path` is a folder, or one file.
  ///
  /// Throws `EngineError`: `.file` if there are no weights here, `.data` for a malformed file or index, a missing
  /// shard, or a shard without a tensor that the index places there.
  public init(_ path: String) throws {
    self.path = path
    try FilePath.require(path)
    guard let kind = fileKind(path) else { throw EngineError(.file, "\(path): no such model folder") }
    let layout = Self.layouts.first { fileExists(path + "/" + $0.single) || fileExists(path + "/" + $0.index) }
    let single = kind == .folder ? layout.map { path + "/" + $0.single } : path
    if let single, fileExists(single) {
      let file = try Self.open(single)
      files = [file]
      names = file.names
      fileOfName = Dictionary(uniqueKeysWithValues: names.map { ($0, 0) })
    } else if let layout {
      (files, fileOfName) = try Self.openShards(folder: path, indexPath: path + "/" + layout.index)
      names = fileOfName.keys.sorted()
    } else {
      let expected = Self.layouts.map { "\($0.single) or \($0.index)" }.joined(separator: ", ")
      throw EngineError(.file, "\(path): no weights: expected \(expected)")
    }
  }

  private static func open(_ path: String) throws -> any TensorFile {
    path.hasSuffix(".bin") ? try TorchArchive(path) : try SafetensorsFile(path)
  }

  /// The tensor of that name, or nil.
  public subscript(name: String) -> TensorEntry? {
    fileOfName[name].flatMap { files[$0][name] }
  }

  /// The tensor of that name; else an `EngineError` with the nearest name that there is.
  public func entry(_ name: String) throws -> TensorEntry {
    try file(of: name).entry(name)
  }

  /// Calls `body` with a tensor and its bytes, which stay valid until it returns.
  public func withBytes<Result>(
    of name: String, _ body: (TensorEntry, UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    try file(of: name).withBytes(of: name, body)
  }

  /// The digest of all tensors: names, dtypes, shapes and bytes, whatever files they are in.
  public func digest() throws -> Digest {
    var members = JSONObject()
    for name in names {
      let file = try file(of: name)
      let entry = try file.entry(name)
      members[name] = [
        "dtype": .string(entry.dtype.rawValue), "shape": .array(entry.shape.map { .int($0) }),
        "digest": .string(try file.digest(of: entry).hex),
      ]
    }
    return Digest(of: .object(members))
  }

  private func file(of name: String) throws -> any TensorFile {
    if let place = fileOfName[name] { return files[place] }
    throw EngineError(
      .data, "\(path): no tensor '\(name)'",
      hint: nearestName(to: name, among: names).map { "did you mean '\($0)'?" })
  }

  private static func openShards(
    folder: String, indexPath: String
  ) throws -> (files: [any TensorFile], fileOfName: [String: Int]) {
    let json = try JSONValue(file: indexPath)
    guard let map = json["weight_map"]?.objectValue, !map.isEmpty else {
      throw EngineError(.data, "\(indexPath): no 'weight_map' object with tensors")
    }
    var files: [any TensorFile] = []
    var placeOfShard: [String: Int] = [:]
    var fileOfName: [String: Int] = [:]
    for (name, value) in map.members {
      // An index is data: it must not reach files outside the model's folder.
      guard let shard = value.stringValue, FilePath.isPlainName(shard) else {
        throw EngineError(
          .data,
          "\(indexPath): weight_map: '\(name)': expected the name of a file in the same "
            + "folder, found \(value.excerpt())")
      }
      if placeOfShard[shard] == nil {
        let shardPath = folder + "/" + shard
        guard fileExists(shardPath) else {
          throw EngineError(
            .data, "\(indexPath): shard '\(shard)' is missing", hint: "download the whole model")
        }
        placeOfShard[shard] = files.count
        files.append(try open(shardPath))
      }
      guard let place = placeOfShard[shard] else { continue }
      guard files[place][name] != nil else {
        throw EngineError(.data, "\(indexPath): tensor '\(name)' is not in its shard '\(shard)'")
      }
      fileOfName[name] = place
    }
    return (files, fileOfName)
  }
}
