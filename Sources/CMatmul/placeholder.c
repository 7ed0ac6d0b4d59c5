#include "CMatmul.h"
