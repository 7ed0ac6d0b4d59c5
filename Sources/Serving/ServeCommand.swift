import Diagnostics
import Foundation

/// What `perigee serve` was asked for.
public struct ServeCommand {
  /// Run directories, folders in their stages, model folders or hub names; each may be NAME=FOLDER.
  public var models: [String] = []
  /// Folders of adapters, each a model of its own on the only one of `models`; each may be NAME=FOLDER.
  public var adapters: [String] = []
  public var options = ServerOptions()

  public init() {}

  /// Answers until an interruption is asked for, and what was asked before it.
  ///
  /// - Parameter say: takes the line with the address.
  /// - Throws: `EngineError`; of kind `.interrupted` at the end.
  public func run(say: @escaping @Sendable (String) -> Void) throws {
    try options.check()
    let served = try ServedModels.load(models, adapters: adapters, maxLength: options.maxLength, seed: options.seed)
    let server = try Server(served, options)
    Interrupt.protectWork()
    let result = Outcome()
    Task {
      do {
        let address = try await server.start()
        say("http://\(address) serves \(served.all.map { "\($0.name) (\($0.summary))" }.joined(separator: ", "))")
        // The model thread holds interruptions off while it works, and looks for them between two turns.
        while !Interrupt.isRequested, !server.thread.sawInterruption { try await Task.sleep(for: .milliseconds(50)) }
        await server.stop()
        result.finish(EngineError(.interrupted, "interrupted"))
      } catch { result.finish(error) }
    }
    throw result.wait()
  }

  /// How it ended.
  private final class Outcome: @unchecked Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    private var error: (any Error)?

    func finish(_ error: any Error) {
      self.error = error
      semaphore.signal()
    }

    func wait() -> any Error {
      semaphore.wait()
      return error ?? EngineError(.interrupted, "interrupted")
    }
  }
}
