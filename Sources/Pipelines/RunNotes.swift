import Diagnostics
import Files

/// `notes.json` of a run directory: what its owner says of the run. It lies in the folder, so that it goes where the run goes.
public struct RunNotes: Record, Equatable, Sendable {
  public var tags: [String] = []
  public var note: String?

  public static let recordName = "notes.json"
  public static let fields: [Field<Self>] = [
    .value("tags", \.tags, "words to find the run by"), .value("note", \.note, "what is worth remembering of the run"),
  ]

  public init() {}

  /// Those of a run directory; empty where it has none.
  public init(run: String) throws {
    let path = run + "/" + Self.recordName
    if fileExists(path) { self = try RunNotes(jsonFile: path) }
  }

  /// Puts them in place of the run's.
  public func write(to run: String) throws { try AtomicFile.write(.object(json), to: OwnFolder(run).place(Self.recordName)) }
}
