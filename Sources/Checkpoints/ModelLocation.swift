import Diagnostics
import Files
import Foundation

/// Finds the folder of a model by path, or by hub name in the local hub cache. Never uses a
/// network.
public enum ModelLocation {
  /// The folder that holds a model's files.
  ///
  /// - Parameters:
  ///   - name: a folder, or a hub name (`org/name` or `name`) that some Hugging Face program has
  ///     downloaded before.
  ///   - revision: a branch, tag or commit of a hub name.
  ///   - environment: `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` and `HOME` say where the cache
  ///     is.
  ///
  /// Throws `EngineError` (`.file`) naming the folders that were tried.
  public static func folder(
    of name: String, revision: String = "main",
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws -> String {
    let path = FilePath.expandHome(name, environment)
    try FilePath.require(path)
    try FilePath.requireNoNUL(revision, "revision")
    if folderExists(path) { return path }
    if fileExists(path) {
      throw EngineError(.file, "\(name): is a file, expected a model folder or hub name")
    }
    guard isHubName(name) else {
      throw EngineError(.file, "\(name): no such model folder", hint: neighbour(of: path))
    }
    let root = hubCache(environment)
    let repository = root + "/models--" + name.split(separator: "/").joined(separator: "--")
    try FilePath.require(repository)
    if let snapshot = snapshot(in: repository, revision: revision) { return snapshot }
    let tried = "tried ./\(name) and \(repository)"
    if folderExists(repository) {
      throw EngineError(
        .file, "\(name): the hub cache has no complete revision '\(revision)' of it (\(tried))")
    }
    let known = cachedModels(root)
    throw EngineError(
      .file, "\(name): no such folder, and no such model in the hub cache (\(tried))",
      hint: nearestName(to: name, among: known).map { "did you mean '\($0)'?" }
        ?? "download it first: hf download \(name)")
  }

  /// Where the Hugging Face libraries keep downloaded models.
  public static func hubCache(
    _ environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> String {
    func value(_ key: String) -> String? {
      environment[key].flatMap { $0.isEmpty ? nil : FilePath.expandHome($0, environment) }
    }
    if let cache = value("HF_HUB_CACHE") ?? value("HUGGINGFACE_HUB_CACHE") { return cache }
    if let home = value("HF_HOME") { return home + "/hub" }
    let cache = value("XDG_CACHE_HOME") ?? (value("HOME") ?? NSHomeDirectory()) + "/.cache"
    return cache + "/huggingface/hub"
  }

  /// Whether `folder`, which `folder(of: name)` gave, is the hub cache's.
  public static func isCached(_ name: String, in folder: String) -> Bool {
    guard isHubName(name), let cache = realPath(hubCache()), let real = realPath(folder) else { return false }
    return real.hasPrefix(cache + "/")
  }

  private static func snapshot(in repository: String, revision: String) -> String? {
    var commits = [revision]
    let reference = repository + "/refs/" + revision
    if !revision.contains(".."), let text = try? readText(reference) {
      commits.insert(text.trimmingCharacters(in: .whitespacesAndNewlines), at: 0)
    }
    return
      commits
      .filter(FilePath.isPlainName)
      .map { repository + "/snapshots/" + $0 }
      .first(where: folderExists)
  }

  private static func cachedModels(_ root: String) -> [String] {
    let names = (try? AtomicFolder.names(in: root)) ?? []
    return names.filter { $0.hasPrefix("models--") }.map {
      $0.dropFirst("models--".count).replacingOccurrences(of: "--", with: "/")
    }
  }

  /// The hub's own rule for names: letters, digits, `-`, `_`, `.`, at most one slash.
  private static func isHubName(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return (1...2).contains(parts.count)
      && parts.allSatisfy { part in
        !part.isEmpty && part.first != "." && part.first != "-" && !part.contains("..")
          && !part.contains("--")
          && part.utf8.allSatisfy {
            let scalar = Character(Unicode.Scalar($0))
            return scalar.isASCII && (scalar.isLetter || scalar.isNumber || "-_.".contains(scalar))
          }
      }
  }

  private static func neighbour(of path: String) -> String? {
    let names = (try? AtomicFolder.names(in: FilePath.folder(of: path))) ?? []
    return nearestName(to: FilePath.name(of: path), among: names).map { "did you mean '\($0)'?" }
  }
}
