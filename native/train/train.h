// Training below Node: a resident panel, losses, an objective, the optimizer and a session of
// steps.
#pragma once

#include "train/losses.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/panel.h"
#include "train/session.h"
