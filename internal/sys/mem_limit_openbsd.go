package sys

const rlimitAS = -1 // this system has no limit of address space
