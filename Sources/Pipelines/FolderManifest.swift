import Diagnostics
import Files
import Foundation

/// The list of a folder's files with sizes and digests, stored in the folder itself, so that damage
/// and half-copied folders are seen before anything is read from them. It has a digest of its own,
/// because what it says (a stage's metrics) is a result too.
struct FolderManifest {
  static let fileName = "manifest.json"
  /// What the writer of the folder wants to know later.
  let facts: JSONObject
  private let files: JSONObject

  /// Lists the folder's files and writes the manifest among them.
  static func write(_ facts: JSONObject, in folder: String) throws {
    var files = JSONObject()
    for name in try relativeFiles(folder) where name != fileName {
      files[name] = [
        "size": .int(try size(folder + "/" + name)),
        "digest": .string(try Digest(ofFile: folder + "/" + name).hex),
      ]
    }
    let digest = digest(facts, files)
    try AtomicFile.write(
      ["facts": .object(facts), "files": .object(files), "digest": .string(digest)], to: folder + "/" + fileName)
  }

  private static func digest(_ facts: JSONObject, _ files: JSONObject) -> String {
    Digest(of: .object(["facts": .object(facts), "files": .object(files)])).hex
  }

  /// Reads the manifest without looking at the files. Throws `EngineError` where it was changed since it was written.
  init(reading folder: String) throws {
    let json = try JSONValue(file: folder + "/" + Self.fileName)
    guard let facts = json["facts"]?.objectValue, let files = json["files"]?.objectValue else {
      throw EngineError(.data, "\(folder)/\(Self.fileName): not a manifest")
    }
    guard json["digest"]?.stringValue == Self.digest(facts, files) else {
      throw EngineError(.data, "\(folder)/\(Self.fileName): its content has changed since it was stored")
    }
    self.facts = facts
    self.files = files
  }

  /// Reads the manifest and checks every file. Throws `EngineError` naming the first that is
  /// missing or differs.
  init(verifying folder: String) throws {
    try self.init(reading: folder)
    for (name, entry) in files.members {
      let path = folder + "/" + name
      guard !FilePath.parts(of: name).contains(".."), !FilePath.isAbsolute(name),
        let expectedSize = entry["size"]?.intValue, let expected = entry["digest"]?.stringValue
      else { throw EngineError(.data, "\(folder)/\(Self.fileName): malformed entry '\(name)'") }
      let size = try Self.size(path)
      if size != expectedSize {
        throw EngineError(.data, "\(path): expected \(expectedSize) bytes, found \(size)")
      }
      if try Digest(ofFile: path).hex != expected {
        throw EngineError(.data, "\(path): its content has changed since it was stored")
      }
    }
  }

  private static func size(_ path: String) throws -> Int {
    try requireRegularFile(path)
    guard let facts = fileFacts(path) else { throw EngineError(.file, "\(path): expected a file of its own, found a link") }
    return facts.size
  }

  private static func relativeFiles(_ folder: String, prefix: String = "") throws -> [String] {
    var files: [String] = []
    for name in try AtomicFolder.names(in: folder) {
      let path = folder + "/" + name
      if folderExists(path) {
        files += try relativeFiles(path, prefix: prefix + name + "/")
      } else {
        files.append(prefix + name)
      }
    }
    return files
  }
}
