#!/bin/sh
# Shipped code never ends, prints, throws, allocates or looks around behind its host's back.
#   banned.sh SOURCE_DIR
set -u
cd "$1" || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Each line: an extended regular expression, and the files that may (a basic one) or "none".
cat > "$scratch/bans" << 'END'
\<(abort|_?exit|_Exit|quick_exit|terminate|raise|kill|longjmp) *\(               none
\<(secure_)?getenv\>|\<environ\>                                                 none
\<v?f?printf *\(|\<f?put(s|c|char) *\(|\<perror *\(|\<fwrite *\(                 none
\<std::(cout|cerr|clog|cin)\>|<(iostream|[io]?f?stream|[io]?stringstream|sstream|iomanip)>  none
\<HWY_(ASSERT|ABORT|CHECK|WARN)\>|\<c?assert(\.h)?>|\<assert *\(                 none
\<(DisableTargets|SetSupportedTargetsForTest|HWY_DYNAMIC_DISPATCH|HWY_EXPORT)\>  none
\<(signal|atexit|setlocale|set_terminate|set_new_handler) *\(|\<sigaction\>      none
\<(thread_local|__thread)\>                                                      none
\<s?rand *\(|\<(random_device|mt19937|system_clock|gettimeofday|localtime)\>       none
\<throw\> *([^ ;O]|O[^u])                                                        none
\<(malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup) *\(           c_api/os/memory\.cc
\<new [A-Za-z_:]|\<delete( |\[)|\<make_(unique|shared)\>                         none
\<std::(string|function|map|set|unordered_[a-z]+|deque|list|to_string|regex)\>   none
\<std::(vector|basic_string)\>                                                   include/junto/base/memory\.h
<(sys/[a-z]+|unistd|fcntl|pthread|signal|sched|windows|dirent)\.h>               c_api/os/.*
END

# FILE:LINE:code of everything we ship, comments and literals blanked.
find include c_api -name '*.h' -o -name '*.cc' | sort > "$scratch/files"
xargs awk '
  FNR == 1 { inside = 0 }
  {
    out = ""
    line = $0
    while (line != "") {
      if (inside) {
        end = index(line, "*/")
        if (end == 0) break
        inside = 0
        line = substr(line, end + 2)
      }
      if (!match(line, /\/\/|\/\*|"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047/)) {
        out = out line
        break
      }
      token = substr(line, RSTART, RLENGTH)
      out = out substr(line, 1, RSTART - 1) " "
      line = substr(line, RSTART + RLENGTH)
      if (token == "//") break
      inside = token == "/*"
    }
    print FILENAME ":" FNR ":" out
  }' < "$scratch/files" > "$scratch/code"

while read -r line; do
  allowed=${line##* }
  pattern=$(printf '%s' "${line% *}" | sed 's/ *$//')
  grep -E -- "$pattern" "$scratch/code" | grep -v "^$allowed:[0-9]*:"
done < "$scratch/bans" > "$scratch/found"
cat "$scratch/found"
[ -s "$scratch/code" ] && [ ! -s "$scratch/found" ] &&
  echo "$(wc -l < "$scratch/files") files, nothing banned in them"
