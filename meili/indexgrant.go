package meili

// IndexGrant allows searching one index and nothing else.
func IndexGrant(uid string) *Grant {
	return &Grant{key: Key{Actions: []Action{ActionSearch}, Indexes: []string{uid}}}
}
