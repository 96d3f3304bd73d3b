/* Secret documents in tacet's own dotenv. */

#include "tests/fuzz/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        document_fuzz(&dialect_tacet, data, size, true);
        return 0;
}
