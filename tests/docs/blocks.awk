# Writes each ```c block of a document to PREFIX-LINE.c, LINE being that of its fence:
#   awk -v prefix=PREFIX -f blocks.awk FILE.md
# A block that begins with #include is a whole file, any other the inside of a function. The comment
# before it, <!-- run: ... -->, goes to PREFIX-LINE.run.
/^<!-- run:.*-->$/ { run = $0; sub(/^<!-- run: */, "", run); sub(/ *-->$/, "", run); next }
/^```c$/ { block = 1; start = NR; body = ""; next }
/^```$/ && block {
  block = 0
  name = prefix "-" start ".c"
  whole = body ~ /^#include/
  if (!whole) print "static void fragment(void) {" > name
  print "#line " start + 1 " \"" FILENAME "\"\n" body > name
  if (!whole) print "}" > name
  print run > (prefix "-" start ".run")
  close(name)
  run = ""
  next
}
block { body = body $0 "\n" }
END {
  if (!block) exit 0
  print FILENAME ":" start ": the block does not end" > "/dev/stderr"
  exit 1
}
