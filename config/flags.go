package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Flags is a structure for the command line parser with one field per key, and the way back.
type Flags struct{ fields any }

// NewFlags makes the structure: a *bool for what is true or false, a *string for the rest, nil where no flag was given.
func NewFlags() *Flags {
	var fields []reflect.StructField
	for i := range keys {
		k := &keys[i]
		fields = append(fields, k.structField(i, k.flag(), k.help))
		if k.secret {
			file := key{name: k.name + "_file"}
			fields = append(fields, file.structField(len(keys)+i, file.flag(), "A file that holds it."))
		}
	}
	return &Flags{reflect.New(reflect.StructOf(fields)).Interface()}
}

// Struct is a pointer to the structure.
func (f *Flags) Struct() any { return f.fields }

func (k *key) structField(number int, flag, help string) reflect.StructField {
	typ := reflect.TypeFor[*string]()
	placeholder := "TEXT"
	extra := ""
	if k.at != nil {
		switch v := k.at(Default()).get().(type) {
		case bool:
			typ, extra = reflect.TypeFor[*bool](), ` negatable:""`
			help += fmt.Sprintf(" Default: %t.", v)
		case []string:
			placeholder = "A,B"
		default:
			if v != "" {
				placeholder = fmt.Sprint(v)
			}
		}
	}
	if k.short != "" {
		extra += fmt.Sprintf(` aliases:%q`, k.short)
	}
	section := strings.ReplaceAll(k.section(), "_", " ")
	tag := fmt.Sprintf(`name:%q help:%q group:%q placeholder:%q%s`, flag, help, section+":", placeholder, extra)
	return reflect.StructField{Name: fmt.Sprintf("Key%d", number), Type: typ, Tag: reflect.StructTag(tag)}
}

// Given is the text of each key that a flag was given for.
func (f *Flags) Given() map[string]string {
	given := map[string]string{}
	v := reflect.ValueOf(f.fields).Elem()
	for i := range keys {
		k := &keys[i]
		for _, name := range []struct{ key, field string }{
			{k.name, fmt.Sprintf("Key%d", i)}, {k.name + "_file", fmt.Sprintf("Key%d", len(keys)+i)},
		} {
			if at := v.FieldByName(name.field); at.IsValid() && !at.IsNil() {
				given[name.key] = fmt.Sprint(at.Elem().Interface())
			}
		}
	}
	return given
}
