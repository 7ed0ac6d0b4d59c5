import Files
import Foundation
import TestSupport
import Testing

/// No command but `serve` asks for a socket of the network, or looks up a host: not even where a model is not there.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built")) struct NetworkTests {
  /// Takes the place of the system's calls, and notes them in `$NETWORK_LOG`.
  private static let watcher = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <netdb.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/socket.h>
    static void note(const char *what) {
      FILE *log = fopen(getenv("NETWORK_LOG"), "a");
      if (log) fprintf(log, "%s\\n", what), fclose(log);
    }
    int socket(int family, int type, int protocol) {
      if (family == AF_UNIX) return ((int (*)(int, int, int))dlsym(RTLD_NEXT, "socket"))(family, type, protocol);
      note("socket");
      errno = EACCES;
      return -1;
    }
    int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
      note("getaddrinfo");
      return EAI_FAIL;
    }
    """

  @Test func noCommandTouchesTheNetwork() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Self.watcher, to: folder + "/watch.c")
      try AtomicFile.write("text\tlabel\na\tb\n", to: folder + "/rows.tsv")
      let build = try bash(["-c", "cc -shared -fPIC -o watch.so watch.c -ldl"], in: folder)
      try #require(build.code == 0, "\(build.error)")
      func calls(_ command: String) throws -> (calls: String, outcome: Outcome) {
        let outcome = try bash(
          ["-c", "P='\(try #require(perigeeExecutable))'; export LD_PRELOAD=$PWD/watch.so NETWORK_LOG=$PWD/calls; : >calls; \(command); :"],
          in: folder)
        return (try readText(folder + "/calls"), outcome)
      }
      // That it watches at all.
      #expect(try calls("bash -c 'exec 3<>/dev/tcp/localhost/9'").calls.contains("getaddrinfo"))
      let commands = [
        "$P run -e 'models.load(\"org/not-there\")'", "$P run -e 'tasks.glue(\"rte\", \"https://example.org/rte\")'",
        "$P run -e 'stage(\"s\", function() return trainer.evaluate { model = models.load(\"builtin:tiny\"):classifier { num_labels = 2 }, "
          + "task = tasks.glue(\"rte\", \"builtin:rte\", { max_eval_samples = 4 }) } end)' --precision fp32",
        "$P predict org/not-there rows.tsv", "$P runs", "$P cache", "$P doctor", "$P init .",
      ]
      for command in commands {
        let (calls, outcome) = try calls(command)
        #expect(calls == "", "\(command): \(calls)\(outcome.error)")
        #expect(!outcome.output.isEmpty || !outcome.error.isEmpty, "\(command)")
      }
    }
  }
}
