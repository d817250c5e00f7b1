package kit

// InOrder returns a function that calls each of ends in order, and stops at the
// first error.
func InOrder(ends ...func() error) func() error {
	return func() error {
		for _, end := range ends {
			if err := end(); err != nil {
				return err
			}
		}
		return nil
	}
}
