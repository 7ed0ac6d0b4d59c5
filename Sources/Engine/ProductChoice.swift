import Files
import Pipelines
import TensorCore

/// Who multiplies each kind of product on this machine. It is measured once and kept in `products.json` of the cache folder,
/// because another choice would round in another way, and results of one machine are to stay the same.
enum ProductChoice {
  /// Takes the choice that is kept for this kind of CPU; where there is none, or none that can be followed, measures and keeps it.
  static func apply(cacheFolder: String) {
    let path = cacheFolder + "/products.json"
    let machine = "\(HostFacts.current().cpu ?? "unknown"), perigee \(EngineSetup.version), \(Products.candidates)"
    if follow(kept(path)[machine]) { return }
    Products.measure()
    // Another process may have kept its own meanwhile.
    var choices = kept(path)
    if follow(choices[machine]) { return }
    choices[machine] = .object(JSONObject(Products.allCases.map { ($0.rawValue, .string($0.provider)) }))
    // Where it cannot be kept, it is measured again the next time.
    try? createFolder(cacheFolder)
    try? AtomicFile.write(.object(choices), to: path)
  }

  /// What is kept, by machine; nothing where the file is damaged.
  private static func kept(_ path: String) -> JSONObject { (try? JSONValue(file: path))?.objectValue ?? [:] }

  /// False where a kind is missing, or cannot be multiplied so here.
  private static func follow(_ choice: JSONValue?) -> Bool {
    let names = Products.allCases.map { choice?[$0.rawValue]?.stringValue }
    return zip(Products.allCases, names).allSatisfy { kind, name in name.map(kind.choose) ?? false }
  }
}
