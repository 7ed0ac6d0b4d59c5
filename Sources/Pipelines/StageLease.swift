import Diagnostics
import Files
import Foundation
import Synchronization

/// The right to work at a stage: a file in its folder whose name says who works there (`LeaseName`), and how often that one has shown since
/// that it lives. There is one such file in a folder, from the folder's first moment on, and every change is a rename of it: taking
/// it, renewing it, giving it back, taking it over. Of several renames from one name the file system lets one succeed, on NFS too, where
/// the server decides: so each is a comparison and an exchange in one, and no lock is needed that a mount may lack.
///
/// What could go wrong in silence, and why it does not:
/// - **Two processes see that the holder is dead.** Both rename from the holder's name, which only one of them finds.
/// - **The holder is paused (SIGSTOP, a suspended machine), taken for dead, and wakes.** Its own name is gone. It renews before it
///   writes anything, that fails, and it stops. What it was writing at the moment when it was paused has a name of its own until a last rename,
///   and holds the same bits that its successor computes; a result that is there is never replaced by a second one.
/// - **It was only slow, and renews while another one takes over.** One of the two renames fails: either the holder goes on, or it learns
///   that it has lost.
/// - **Clocks differ, or jump.** Nobody compares them. Who waits counts, on a clock of its own that does not jump, how long the name has
///   stayed the same.
/// - **A directory that NFS has cached shows an old name.** It seems silent, but there is no such name to rename from any more.
/// - **A reply of the server is lost, and the repeated request finds nothing.** The new name is then renamed once more: that tells.
/// - **The process number is given again, or means another process in another container.** The name has the start of the process, and
///   the place where its number counts; elsewhere, only silence tells that a process is dead.
///
/// Its parts that change are behind a lock; the timer is set up once.
final class StageLease: @unchecked Sendable {
  private let folder: String
  private let state: Mutex<State>
  private let timer: any DispatchSourceTimer

  private struct State {
    var name: LeaseName
    var isLost = false
    var isReleased = false
  }

  private init(_ folder: String, _ name: LeaseName, _ timing: LeaseTiming) {
    self.folder = folder
    state = Mutex(State(name: name))
    timer = DispatchSource.makeTimerSource(queue: .global(qos: .userInitiated))
    timer.schedule(deadline: .now() + timing.renewal, repeating: timing.renewal)
    timer.setEventHandler { [weak self] in try? self?.renew() }
    timer.resume()
  }

  deinit { release() }

  /// Whether another process has taken the work over.
  var isLost: Bool { state.withLock { $0.isLost } }

  /// Shows that the holder lives, and finds out whether it still is the holder: before whatever it writes.
  ///
  /// Throws `EngineError` (`.file`) where another process has taken the lease over, and where that cannot be told.
  func renew() throws {
    let code = state.withLock { state -> Int32 in
      if state.isLost || state.isReleased { return 0 }
      let next = state.name.next
      var code = Self.rename(folder, state.name.text, next.text)
      if code == 0 {
        state.name = next
      } else if code == ENOENT || code == ESTALE {
        // Maybe it was done, and only the reply was lost.
        code = Self.rename(folder, next.text, next.next.text)
        if code == 0 { state.name = next.next }
        state.isLost = code == ENOENT || code == ESTALE
      }
      return code
    }
    if isLost { throw EngineError(.file, "\(folder): another process has taken over the work") }
    if code != 0 { throw writeError(folder, code: code) }
  }

  /// Gives the lease back. More than once does no harm.
  func release() { end { _ = Self.rename(folder, $0.text, LeaseName.free) } }

  /// Ends the lease together with its folder, which goes with `remove`.
  func end(_ remove: () -> Void) { end { _ in remove() } }

  private func end(_ body: (LeaseName) -> Void) {
    timer.cancel()
    state.withLock { state in
      if !state.isLost, !state.isReleased { body(state.name) }
      state.isReleased = true
    }
  }

  /// 0, or the error's number.
  private static func rename(_ folder: String, _ old: String, _ new: String) -> Int32 {
    Foundation.rename(folder + "/" + old, folder + "/" + new) == 0 ? 0 : errno
  }
}

// MARK: - Taking

extension StageLease {
  enum Outcome {
    case taken(StageLease)
    /// Somebody holds it; nil: nobody knows who.
    case held(LeaseName?)
  }

  /// Takes the lease of a stage's folder, which is made if it is not there, also from a holder that has ended or is silent.
  ///
  /// - Parameter onTakeOver: gets a holder that was silent.
  ///
  /// Throws `EngineError` (`.file`) where the folder cannot be made.
  static func take(
    _ folder: String, as name: LeaseName = LeaseName(), _ watch: LeaseWatch, onTakeOver: (LeaseName) -> Void = { _ in }
  ) throws -> Outcome {
    // Others may be faster some times.
    for attempt in 1...20 {
      guard fileKind(folder, followingLinks: false) != nil else {
        if let lease = try make(folder, name, watch) { return .taken(lease) }
        continue
      }
      let found = try watch.leases(in: folder)
      if let holder = found.first(where: { !watch.isOver($0, in: folder) }) { return .held(LeaseName(holder)) }
      guard let old = found.first else {
        // An earlier version's folder, or a glance at it in the middle of a rename.
        if attempt < 4 { usleep(20_000) } else if let lease = try adopt(folder, name, watch) { return .taken(lease) }
        continue
      }
      let code = rename(folder, old, name.text)
      // Where the reply was lost, the new name is there.
      if code == 0 || rename(folder, name.text, name.next.text) == 0 {
        if let silent = LeaseName(old), !silent.process.hasEnded { onTakeOver(silent) }
        for other in found.dropFirst() { removeTree(folder + "/" + other) }
        return .taken(StageLease(folder, code == 0 ? name : name.next, watch.timing))
      }
    }
    return .held(nil)
  }

  /// The folder, which appears with its lease; nil where another process was faster.
  private static func make(_ folder: String, _ name: LeaseName, _ watch: LeaseWatch) throws -> StageLease? {
    do {
      try AtomicFolder.write(to: folder, replace: false, isDurable: false) { try create(name, in: $0) }
    } catch {
      if fileKind(folder, followingLinks: false) == .folder { return nil }
      throw error
    }
    return StageLease(folder, name, watch.timing)
  }

  /// Gives a folder without a lease one: it is moved aside for that, which one process alone can do.
  private static func adopt(_ folder: String, _ name: LeaseName, _ watch: LeaseWatch) throws -> StageLease? {
    let aside = TemporaryName.beside(folder)
    guard Foundation.rename(folder, aside) == 0 else { return nil }
    try create(name, in: aside)
    guard Foundation.rename(aside, folder) == 0 else {
      removeTree(aside)
      return nil
    }
    return StageLease(folder, name, watch.timing)
  }

  private static func create(_ name: LeaseName, in folder: String) throws {
    _ = try FileWriter(appendingTo: folder + "/" + name.text, isNew: true)
  }
}

/// Calls `body` while no other process does so for the same folder, on any machine: for moments. The folder is made, and stays.
///
/// Throws `EngineError` where it cannot be made or, after half a minute, is still held; what `body` throws.
package func exclusively(_ folder: String, _ body: () throws -> Void) throws {
  let watch = LeaseWatch(try .current())
  for _ in 0..<600 {
    if case .taken(let lease) = try StageLease.take(folder, watch) {
      defer { lease.release() }
      return try body()
    }
    usleep(50_000)
  }
  throw EngineError(.file, "\(folder): another process has held it for half a minute")
}

/// What a process has seen of others' leases, and since when: to tell those that are silent.
final class LeaseWatch {
  let timing: LeaseTiming
  /// The names in a folder, as a file system may show them late.
  var names: (String) throws -> [String] = { try AtomicFolder.names(in: $0) }
  private var seen: [String: (name: String, since: UInt64)] = [:]

  init(_ timing: LeaseTiming) { self.timing = timing }

  /// The lease files in a folder: one, but for the moment of a rename.
  func leases(in folder: String) throws -> [String] { try names(folder).filter { $0 == LeaseName.free || LeaseName($0) != nil } }

  /// Whether a lease is free, or its holder has ended or is silent.
  func isOver(_ text: String, in folder: String) -> Bool {
    guard let name = LeaseName(text) else { return true }
    if name.process.hasEnded { return true }
    let (now, place) = (DispatchTime.now().uptimeNanoseconds, folder + "/" + name.salt)
    guard let (last, since) = seen[place], last == text else {
      seen[place] = (text, now)
      return false
    }
    return Double(now - since) / 1e9 >= timing.patience
  }
}
