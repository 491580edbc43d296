// JUNTO_TEST_SANITIZED: whether a sanitizer watches, which is slow and owns malloc.
#ifndef JUNTO_TESTS_SUPPORT_SANITIZED_H_
#define JUNTO_TESTS_SUPPORT_SANITIZED_H_

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JUNTO_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define JUNTO_TEST_SANITIZED 1
#endif
#endif
#ifndef JUNTO_TEST_SANITIZED
#define JUNTO_TEST_SANITIZED 0
#endif

#endif  // JUNTO_TESTS_SUPPORT_SANITIZED_H_
