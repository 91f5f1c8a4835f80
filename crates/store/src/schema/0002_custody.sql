CREATE TABLE custody_placeholder (id {KEY} PRIMARY KEY);
