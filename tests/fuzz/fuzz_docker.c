/* Secret documents in docker's --env-file. */

#include "tests/fuzz/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        document_fuzz(&dialect_docker, data, size, false);
        return 0;
}
